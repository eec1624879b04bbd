"""What is shown below the cell of a task call."""
