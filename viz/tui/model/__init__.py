"""What the terminal view shows, as plain functions over NumPy columns.  Nothing here imports textual.

window   a stretch of time and its columns on the screen
spans    one lane's busy intervals, answered per column by binary search
runs     one or two timelines, their lanes and graphs
view     the state of the screen (frozen) and every move on it
waits    why something started when it did
query    search and filter
facts    the sentences of the panels
"""
