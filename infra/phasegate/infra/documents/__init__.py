"""Readers of documents from outside: JSON, TOML, YAML, XML, Python source and text, each within bounds.

Others write tickets, policies, scripts, bundles, reports, answers of models and servers, and the files of a change.
Every reader here gives the value or raises `DocumentUnreadable`, with the line where there is one. A house test holds
that no other room calls the raw parsers on such text. The readers know no room's meaning of a document.
"""
