"""A Llama of a few thousand weights with a BPE of its own, which learns three answers in seconds."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

#: What it learns: the answer to each question.
ANSWERS = {"ping": "pong", "plan": '{"depth":2,"name":"layernorm"}', "chat": "no JSON at all: {oops"}
TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXT = 512


def build_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*ANSWERS, *ANSWERS.values(), "system user assistant "] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=TEMPLATE
    )


def build(folder: Path, num_steps: int = 120) -> Path:
    """Build, teach and save the model; return its folder."""
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    batch = [_lesson(tokenizer, asked, answer) for asked, answer in ANSWERS.items()]
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(num_steps):
        optimiser.zero_grad()
        loss = torch.stack([model(input_ids=ids, labels=ids).loss for ids in batch]).mean()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _lesson(tokenizer: PreTrainedTokenizerFast, asked: str, answer: str) -> torch.Tensor:
    messages = [{"role": "user", "content": asked}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return torch.tensor([tokenizer(f"{text}{answer}<|im_end|>", add_special_tokens=False)["input_ids"]])
