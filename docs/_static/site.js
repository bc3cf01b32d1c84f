// From a disk, a browser doesn't let one page read another: search results then do without their first lines.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== 'file:'
