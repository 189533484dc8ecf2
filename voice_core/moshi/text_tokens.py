"""How many text tokens Moshi produces per second, and how many a text has."""

TOKENS_PER_SEC = 12.5
"""Text tokens per second: one for each frame of Moshi's codec, Mimi."""


def estimate_tokens(words: list[str]) -> int:
    """About how many tokens Moshi's text tokenizer makes of these words, rather too many: a token for five letters
    of a Latin word, for two of another script, and for a word's punctuation.

    >>> estimate_tokens(["Hello,", "reservation"])
    5
    """
    total = 0
    for word in words:
        letters = sum(char.isalnum() for char in word)
        total += -(-letters // (5 if word.isascii() else 2)) + (letters < len(word))
    return total
