"""Store of results: whole products of calls, each different file once.

To read: ``manifest`` describes the result of one call; ``results`` keeps and finds results, in the places of
``folder``; ``product_files`` lists what a product consists of, and ``known_bytes`` remembers which files were read before; ``eviction`` chooses what a full store drops. ``opening`` opens the store that the settings name; ``upkeep`` is for its users.
"""
