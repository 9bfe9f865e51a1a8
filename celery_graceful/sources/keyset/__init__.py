"""Pages of rows behind the last key: what all sources over databases share, free of any database.

A source brings its rows' columns and a function that runs one query; everything else is here::

    order = total_order("sources.select", [("created_at", True)], ["id"], nullable={"created_at"})
    cursors = Cursors("sources.select", order)
    place = cursors.read(cursor)                      # CursorError for a foreign one
    return rows(fetch, cursors, place, batch=1000, upper_bound="now", lists=False)

``fetch(segment, limit)`` runs one query: ``WHERE`` all of ``segment.conditions``, ``ORDER BY``
``segment.terms``, ``LIMIT limit``. It returns the items and, beside each, its key: the one value,
or a tuple of several in the order's order.

- :mod:`.order`: which columns, in which direction, may they be ``NULL``;
- :mod:`.predicate`: the rows behind a key, as conditions (:func:`~.predicate.segments`);
- :mod:`.values`: typed values as JSON and back;
- :mod:`.key_cursors`: what a cursor looks like, and which ones are refused;
- :mod:`.row_pages`: page after page, as ``(row, cursor)`` or ``(rows, cursor)``;
- :mod:`.moved_rows`: notices a task that changes the columns it is ordered by;
- :mod:`.page_cuts`: ends a page whose objects a commit has made stale;
- :mod:`.row_source`: what a source returns: these pairs, and ``count()``.

``NULL`` is greater than every value here, whatever the database thinks: last in ascending order,
first in descending.
"""
