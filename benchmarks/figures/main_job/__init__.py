"""What the main job must show: every row of the table of issue 3."""

from benchmarks.figures.main_job import bank, demo, ratios, shop

FIGURES = (*demo.FIGURES, *bank.FIGURES, *shop.FIGURES, *ratios.FIGURES)
