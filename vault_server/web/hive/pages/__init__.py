"""The hive's pages for people: server-rendered, every form works without JavaScript. See `site.py`."""
