"""What a server answers where it cannot do what it was asked."""

from __future__ import annotations


class Refused(Exception):
    """The status code of an answer, and a sentence that says what to do."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
