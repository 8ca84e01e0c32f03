"""A trained model as a service: tasks are registered from a few pictures and asked over HTTP."""
