"""The areas of the screen.  Each draws a View with Inks and posts messages; none knows the app."""
