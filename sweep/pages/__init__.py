"""The HTML that reports, dataset previews and services share."""
