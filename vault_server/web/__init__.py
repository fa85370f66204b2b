"""HTTP: health and metrics for whoever watches the server; app.py hands in every route. Never imports a system."""
