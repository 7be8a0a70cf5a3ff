"""A program for PyInstaller, which has no Python of its own: the whole of redset, and a server."""

import sys

import redset

if __name__ == "__main__":
    client = redset.connect(*sys.argv[1:])
    words: redset.SortedSet[str] = redset.SortedSet(client, "words")
    words.update(["a", "b"])
    print(words.pop(), len(words), *words)
