"""Python scripts beside notebooks: their cells, the lines that calls came from, and the text as it ran."""
