"""The few widgets of the UI. Each draws single lines, and sends again only the lines that changed."""
