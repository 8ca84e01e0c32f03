"""One of each that metaray takes from outside."""
