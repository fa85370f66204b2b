"""Every address of the pages."""

from __future__ import annotations

from vault_server.web.hive.pages import admin, agents, dashboard, front, lists, task

SECTIONS = (front.ENTRIES, lists.ENTRIES, task.ENTRIES, dashboard.ENTRIES, agents.ENTRIES, admin.ENTRIES)
