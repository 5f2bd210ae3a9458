"""The dashboard, driven in a real browser by Playwright."""
