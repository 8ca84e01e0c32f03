"""A live view of a run, from the files of its folder alone: ``metaray watch``."""
