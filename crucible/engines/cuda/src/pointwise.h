// Ops that map each scalar by itself: the activations, SCALE, and delays by a step; merges are in merges.h.
#pragma once
#include "products.h"

namespace persistent {

// Each activation: its value at x, and its slope at x where the value is y.
struct Relu {
    MEMBER static S value(S x) { return x < 0 ? S(0) : x; }
    MEMBER static S slope(S x, S) { return x > 0 ? 1 : 0; }
};

struct LeakyRelu {
    MEMBER static S value(S x) { return x > 0 ? x : x * S(0.01); }
    MEMBER static S slope(S x, S) { return x > 0 ? S(1) : S(0.01); }
};

struct Elu {
    MEMBER static S value(S x) { return x > 0 ? x : expm1(x); }
    MEMBER static S slope(S x, S) { return x > 0 ? S(1) : exp(x); }
};

struct Gelu {
    MEMBER static S below(S x) { return S(0.5) * erfc(-x * S(0.70710678118654752440)); }
    MEMBER static S value(S x) { return x * below(x); }
    MEMBER static S slope(S x, S) {
        return below(x) + x * exp(S(-0.5) * x * x) * S(0.39894228040143267794);
    }
};

struct Silu {
    MEMBER static S value(S x) { return x * sigmoid(x); }
    MEMBER static S slope(S x, S) {
        const S gate = sigmoid(x);
        return gate * (1 + x * (1 - gate));
    }
};

struct Tanh {
    MEMBER static S value(S x) { return tanh(x); }
    MEMBER static S slope(S, S y) { return 1 - y * y; }
};

struct Sigmoid {
    MEMBER static S value(S x) { return sigmoid(x); }
    MEMBER static S slope(S, S y) { return y * (1 - y); }
};

// From here on torch takes SOFTPLUS for the identity, and tanh(softplus(x)) is one.
constexpr S LINEAR_FROM = 20;

struct SoftPlus {
    MEMBER static S value(S x) {
        return x > LINEAR_FROM ? x : (x > 0 ? x : S(0)) + log1p(exp(x < 0 ? x : -x));
    }
    MEMBER static S slope(S x, S) { return x > LINEAR_FROM ? S(1) : sigmoid(x); }
};

struct Sine {
    MEMBER static S value(S x) { return sin(x); }
    MEMBER static S slope(S x, S) { return cos(x); }
};

// tanh(log(1 + e)) is 1 - rest(e) for e = exp(x); the rest by itself keeps its digits where it is small.
struct Mish {
    MEMBER static S rest(S e) { return 2 / (e * (e + 2) + 2); }
    MEMBER static S value(S x) {
        const S e = exp(x > LINEAR_FROM ? LINEAR_FROM : x);
        return x * (e * (e + 2) * rest(e) / 2);
    }
    MEMBER static S slope(S x, S) {
        const S e = exp(x > LINEAR_FROM ? LINEAR_FROM : x), missing = rest(e);
        const S near = e * (e + 2) * missing / 2 + x * missing * (2 - missing) * (e / (1 + e));
        return x > LINEAR_FROM ? S(1) : near;
    }
};

struct HardSwish {
    MEMBER static S value(S x) { return x * smaller(larger(x + 3, S(0)), S(6)) / 6; }
    MEMBER static S slope(S x, S) { return x <= -3 ? S(0) : (x < 3 ? x / 3 + S(0.5) : S(1)); }
};

struct SquareRelu {
    MEMBER static S value(S x) { return x < 0 ? S(0) : x * x; }
    MEMBER static S slope(S x, S) { return x > 0 ? 2 * x : S(0); }
};

struct Absolute {
    MEMBER static S value(S x) { return x < 0 ? -x : x; }
    MEMBER static S slope(S x, S) { return x > 0 ? S(1) : (x < 0 ? S(-1) : S(0)); }
};

template <class Activation>
DEVICE void activation_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    each(block, y.width, at,
         [&](int r, int c) { y.data[r * y.row + c] = Activation::value(x.data[r * x.row + c]); });
}

template <class Activation>
DEVICE void activation_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    if (!x.slope) return;
    each(block, y.width, at, [&](int r, int c) {
        const int place = r * y.row + c;
        x.slope[place] += Activation::slope(x.data[place], y.data[place]) * y.slope[place];
    });
}

DEVICE void scale_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const S* gain = net.weights(node, 0);
    each(block, y.width, at,
         [&](int r, int c) { y.data[r * y.row + c] = gain[r] * x.data[r * x.row + c]; });
}

DEVICE void scale_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    const S* gain = net.weights(node, 0);
    if (!x.slope) return;
    each(block, y.width, at,
         [&](int r, int c) { x.slope[r * x.row + c] += gain[r] * y.slope[r * y.row + c]; });
}

DEVICE void scale_differentiate(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value &x = net.input(node, 0), &y = node.y;
    add_row_sums(block, y.width, at, net.weight_slopes(node, 0), 1,
                 [&](int r, int c) { return x.data[r * x.row + c] * y.slope[r * y.row + c]; });
}

// y at step t is `from` at step t - 1, and zero at the first.
DEVICE_INLINE void delay(const Block& block, const Value& from, const Value& y, int batch, Columns at) {
    each(block, y.width, at, [&](int r, int c) {
        y.data[r * y.row + c] = c < batch ? S(0) : from.data[r * from.row + c - batch];
    });
}

// The slopes of y at step t go to `from` at step t - 1.
DEVICE_INLINE void undelay(const Block& block, const Value& y, const Value& from, int batch, Columns at) {
    each(block, y.width, at, [&](int r, int c) {
        if (c >= batch) from.slope[r * from.row + c - batch] += y.slope[r * y.row + c];
    });
}

DEVICE void shift_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    delay(block, net.input(node, 0), node.y, net.batch, at);
}

DEVICE void shift_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    if (net.input(node, 0).slope) undelay(block, node.y, net.input(node, 0), net.batch, at);
}

DEVICE void state_forward(const Block& block, const Network& net, const Node& node, Columns at) {
    delay(block, net.nodes[node.record->store].y, node.y, net.batch, at);
}

DEVICE void state_backward(const Block& block, const Network& net, const Node& node, Columns at) {
    const Value& store = net.nodes[node.record->store].y;
    if (store.slope) undelay(block, node.y, store, net.batch, at);
}

} // namespace persistent
