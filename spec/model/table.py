"""The runs of the models: designs that must hold, and guards that must be missed.

Each guard names what implements it in the code; tests/architecture/test_model.py looks it up.
"""

from __future__ import annotations

import attrs

MIGRATION = "polystore.migration."
EDGES = ("stages:_FORWARD", "stages:_BACKWARD")

SHARED = {
    "NO_DRAIN": ("acknowledging:Acknowledging._drained",),
    "NO_FENCE": ("slots:Slot.attempt", "recovery:_close_slot"),
    "PLAINDEL": ("writing:Writing._made",),
}
"""Guards that more than one model has."""

GUARDS: dict[str, dict[str, tuple[str, ...]]] = {
    "write_path.pml": {
        **{name: SHARED[name] for name in ("NO_FENCE", "PLAINDEL")},
        "NO_COND": ("mirror:mirror_write", "mirror:put_if_older"),
        "NO_INTENT": ("slots:Slot.attempt",),
        "INTENT_LATE": ("home:commit",),
        "NO_BUMP": ("home:resolve", "slots:Slot.bump"),
        "BLIND_RETRY": ("home:resolve",),
        "EARLY_CLEAR": ("mirroring:Mirroring._mirrored",),
        "O_FIRST": ("writing:Writing._written",),
        "NO_CONV": ("recovery:_bring",),
        "NO_CAS": ("writing:unchanged",),
        "HELP_STALE": ("recovery:recover", "mirror:converge"),
    },
    "stages.pml": {
        **SHARED,
        "NO_ACKS": ("fleet:Fleet.wait",),
        "NO_RECOVER": ("recovery:_bring",),
        "NO_LEASE": ("session:Session.live",),
        "FZ_HOME": ("latch:Latch._blocked",),
        "FZ_WRITE": ("latch:Latch._blocked",),
        "JOIN_BLIND": ("session:Session._catch_up",),
        "BF_EARLY": ("backfill:Copier._late",),
        "BF_BLIND": ("mirror:mirror_write",),
        "BF_IFABSENT": ("mirror:mirror_write", "mirror:check_refusal"),
        "MIRROR_BLIND": ("mirror:mirror_write",),
        "PLAIN_NOLEASE": ("writing:Writing._plain_route",),
        "NO_QUARANTINE": ("recovery:_hold", "writing:Writing._answered"),
        "NO_BFGATE": ("gates:copied",),
        "CLOSE_S_ONLY": ("recovery:_close_slot",),
        "CLOSE_T_ONLY": ("recovery:_close_slot",),
        "OLD_COPY": ("stages:after",),
        "WEAK_TOKEN": ("writing:unchanged",),
        "ABORT_ANY": ("epochs:Epochs.go_back", "stages:given_up"),
        "PATH=2": EDGES,
        "PATH=3": ("stages:frozen_step", *EDGES),
        "PATH=7": EDGES,
        "PATH=9": EDGES,
    },
    "movement.pml": {
        "SEED": ("movement:Movement.claim",),
        "NO_LOCK": ("movement:Movement.claim",),
        "NO_QUAR": ("movement:rested",),
        "NO_RESYNC": ("upkeep:Upkeep.settle", "recovery:_bring"),
        "NO_OWNER": ("movement:Movement.release",),
        "NO_SELF": ("movement:live",),
    },
    "verify.pml": {
        "NO_BARRIER": ("fleet:Fleet.barrier",),
        "NO_RECHECK": ("repair:_unmoved",),
        "BLIND_REPAIR": ("repair:converge",),
        "COPY_BACK": ("repair:repaired",),
        "NO_TOUCH": ("repair:touch",),
    },
    "groups.pml": {
        "NO_DRAIN": SHARED["NO_DRAIN"],
        "UNGROUPED+MIXED": ("writing:Writing.commit",),
        "INTENT_ONE": ("slots:targets_of",),
        "FZ_TXREAD": ("latch:Latch._blocked",),
    },
}
"""By model and switch, what implements the guard: ``module:name`` below polystore.migration."""

VARIANTS = {
    "write_path.pml": {"NP", "OPS", "LATES"},
    "stages.pml": {
        "OPS", "FENCES", "LATES", "FAILS", "PATH", "LATEJOIN", "BFPENDING", "TWOCOPIERS",
        "ABORT_EARLY", "ABORT_STAGE",
    },
    "groups.pml": {"UNGROUPED", "MIXED"},
    "movement.pml": {"ONE_WRITER"},
    "verify.pml": set(),
}  # fmt: skip
"""Switches that choose a scope or another design, and remove nothing."""


@attrs.frozen
class Run:
    """One run of a model.

    Attributes:
        model: its file.
        switches: what it is compiled with: ``OPS=1``, ``NO_FENCE``.
        holds: whether all its assertions must hold; otherwise one must fail.
    """

    model: str
    switches: tuple[str, ...]
    holds: bool

    @property
    def code(self) -> tuple[str, ...]:
        """What implements the guard that this run goes without."""
        guards = GUARDS[self.model]
        joined = {*self.switches, "+".join(self.switches)}
        found = [guards[name] for name in guards if name in joined and not self.holds]
        return tuple(dict.fromkeys(name for names in found for name in names))


def _designs(model: str, *lines: str) -> list[Run]:
    return [Run(model, tuple(line.split()), holds=True) for line in lines]


def _removed(model: str, scope: str, names: str) -> list[Run]:
    return [Run(model, (*scope.split(), name), holds=False) for name in names.split()]


SCOPES = ("FENCES=1 LATES=1 FAILS=0", "FENCES=1 LATES=0 FAILS=1", "FENCES=0 LATES=1 FAILS=1")

RUNS = [
    *_designs("groups.pml", "", "UNGROUPED"),
    *_removed("groups.pml", "", "INTENT_ONE NO_DRAIN FZ_TXREAD"),
    *_removed("groups.pml", "UNGROUPED", "MIXED"),
    *_designs("movement.pml", ""),
    *_removed("movement.pml", "ONE_WRITER", "SEED"),
    *_removed("movement.pml", "", "SEED NO_LOCK NO_QUAR NO_RESYNC NO_OWNER NO_SELF"),
    *_designs("verify.pml", ""),
    *_removed("verify.pml", "", "NO_BARRIER NO_RECHECK BLIND_REPAIR COPY_BACK NO_TOUCH"),
    *_designs("write_path.pml", "OPS=1", "OPS=1 LATES=2", "OPS=2"),
    *_removed(
        "write_path.pml",
        "OPS=1",
        "NO_COND PLAINDEL NO_INTENT INTENT_LATE NO_FENCE NO_BUMP BLIND_RETRY EARLY_CLEAR O_FIRST "
        "NO_CONV NO_CAS HELP_STALE",
    ),
    *_designs(
        "stages.pml",
        "OPS=1 PATH=8",
        "OPS=1 PATH=4",
        "OPS=1 PATH=5",
        *(f"OPS=1 PATH={path} {scope}" for path in (6, 1) for scope in SCOPES),
        "OPS=1 PATH=1 TWOCOPIERS FENCES=1 LATES=0 FAILS=0",
        "OPS=1 PATH=8 BFPENDING LATES=0 FAILS=1",
        "OPS=1 PATH=8 LATEJOIN FENCES=0",
        "OPS=1 PATH=5 ABORT_EARLY",
        "OPS=1 PATH=11 ABORT_EARLY",
        *(f"OPS=1 PATH={path} ABORT_STAGE {scope}" for path in (12, 13) for scope in SCOPES),
        *(f"OPS=1 PATH=14 ABORT_STAGE BFPENDING {scope}" for scope in SCOPES),
    ),
    *_removed("stages.pml", "OPS=1", "PATH=2 PATH=3 PATH=7 PATH=9"),
    *_removed(
        "stages.pml",
        "OPS=1 PATH=8",
        "NO_ACKS NO_DRAIN NO_FENCE NO_RECOVER NO_LEASE FZ_HOME FZ_WRITE MIRROR_BLIND PLAINDEL "
        "CLOSE_T_ONLY ABORT_ANY",
    ),
    *_removed(
        "stages.pml",
        "OPS=1 PATH=6",
        "NO_ACKS NO_DRAIN BF_EARLY BF_BLIND BF_IFABSENT PLAINDEL NO_QUARANTINE PLAIN_NOLEASE "
        "NO_FENCE MIRROR_BLIND WEAK_TOKEN",
    ),
    *_removed("stages.pml", "OPS=1 PATH=4", "CLOSE_S_ONLY"),
    *_removed("stages.pml", "OPS=1 PATH=14 ABORT_STAGE FENCES=0 LATES=0", "OLD_COPY"),
    *_removed("stages.pml", "OPS=1 PATH=8 BFPENDING LATES=0 FAILS=0", "NO_BFGATE"),
    *_removed("stages.pml", "OPS=1 PATH=8 LATEJOIN FENCES=0", "JOIN_BLIND"),
]
"""All runs."""

SMALL = [run for run in RUNS if run.model in {"groups.pml", "movement.pml", "verify.pml"}]
"""Those that take a second each, most of it in the compiler."""
