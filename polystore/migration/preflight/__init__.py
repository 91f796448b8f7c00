"""The preflight: what the target would refuse, translate or reorder, before it can cost data.

``findings`` says what was found and adds it up, ``looking`` looks at one record, ``costs`` computes
what each stage uses; all three are pure. ``scan`` walks the source, ``observed`` counts live
writes, and ``report`` joins the two into what a person reads and a gate asks.
"""
