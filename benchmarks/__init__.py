"""What `zerohero bench` measures: the rows of its table, their PyTorch peers, and the report. How is in the package."""
