"""Rows that merge values beyond sum and product, which are core rows: side by side, and blended."""

from blueprints.ops.row import Op, SourceTemplate

MERGE_OPS: tuple[Op, ...] = (
    Op(
        name="CONCAT",
        family="merge",
        summary="Puts two values side by side; a single step is repeated along a sequence.",
        formula="y = [a, b]",
        paper="Huang et al. 2017",
        source=SourceTemplate(init="Concat()", forward="self.{name}({x}, {y})", classes=("Concat",)),
        flops=lambda w_in, w_out, attributes: w_out,
        arity=2,
        widths="sum",
    ),
    Op(
        name="BLEND",
        family="merge",
        summary="Blends two values of equal width by a third: z*a + (1 - z)*b; a single step is broadcast.",
        formula="y = z*a + (1 - z)*b",
        paper="Srivastava et al. 2015",
        source=SourceTemplate(forward="{x} * {y} + (1 - {x}) * {z}"),
        flops=lambda w_in, w_out, attributes: 4 * w_in,
        arity=3,
    ),
)
