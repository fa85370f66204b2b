"""HTTP: health and metrics for whoever watches the server. app.py hands in every page; nothing here knows a system."""
