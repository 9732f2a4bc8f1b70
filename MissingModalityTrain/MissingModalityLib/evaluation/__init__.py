"""How good a student is: Dice and HD95 over the 15 subsets, tables, comparisons, and its model card."""
