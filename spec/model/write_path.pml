/*
 * write_path.pml - one mirrored write, its crash, its unknown outcome, its recovery.
 *
 * One record.  H = home (authoritative) copy, O = other copy.  A stored record is
 *   v  value (0 = deleted or absent; otherwise a unique number per logical write)
 *   n  stamp (0 = never existed), strictly increasing at the home
 * A process owns one slot in the home store: seq (generation), intent, closed.
 * One database call = one atomic step.  A commit may be answered, or time out and be
 * (a) applied, (b) dropped, (c) applied LATER by the network (process net).
 * A crash is "never scheduled again"; the recoverer may also close the slot of a
 * process that is alive (a zombie), at any instant.
 *
 * The home commits record and slot in one commit, or neither.
 *
 * Checked:
 *  I1 every (n,v) stored in O is one that H had at stamp n
 *  I2 a logical write is applied at most once; an outcome told to the application is true
 *  I3 when every process has finished or has been closed and recovered, O == H - and it
 *     stays so whatever the network still delivers
 *
 * Guards, each removable by -D:
 *  NO_COND    mirror write is unconditional            PLAINDEL  deletes leave no tombstone
 *  NO_INTENT  nothing recorded                         INTENT_LATE intent recorded after commit
 *  NO_FENCE   commit does not check the slot       NO_BUMP   outcome read from slot without closing the attempt
 *  BLIND_RETRY time-out is treated as "not applied"    EARLY_CLEAR slot freed before the mirror write is confirmed
 *  O_FIRST    other copy written before the home       NO_CONV   recoverer closes the slot but does not converge
 *  NO_CAS     home commit is not conditional on the stamp read
 *  HELP_STALE recoverer mirrors what it read before closing the slot
 */
#ifndef NP
#define NP 2
#endif
#ifndef OPS
#define OPS 2
#endif
#ifndef LATES
#define LATES 1          /* calls that may time out, in all */
#endif
#define NV 8

byte hv, hn, hw;         /* home: value, stamp, id of the process attempt that wrote it (me*16+seq) */
byte ov, on;             /* other */
byte hist[12];           /* ghost: value H had at stamp i (255 = none) */
byte nextv;              /* fresh values */
byte applied[NV];        /* ghost: how often logical write (by value) was applied */
bool denied[NV];         /* ghost: application was told "not applied" */
byte seq[NP]; bool intent[NP], closed[NP], recov[NP], done[NP];
byte lates;
/* calls still in the network */
bool lc[NP]; byte lcv[NP], lcn[NP], lcs[NP];    /* late commit: value, pin, slot seq */
bool lm[NP]; byte lmv[NP], lmn[NP];             /* late mirror write */

#ifdef NO_CAS
#define PINOK(pin) (1)
#else
#define PINOK(pin) (hn == (pin))
#endif
#ifdef NO_FENCE
#define SLOTOK(p,s) (1)
#else
#define SLOTOK(p,s) (!closed[p] && seq[p] == (s))
#endif

inline apply_commit(p, val, pin, s) {      /* caller has checked the conditions */
  hv = val; hn = pin + 1; hw = p*16 + s;
#ifdef PLAINDEL
  if :: val == 0 -> hn = 0 :: else fi;
#endif
  hist[hn] = val;
  if :: val > 0 -> applied[val]++; assert(applied[val] <= 1 && !denied[val]) :: else fi;
#if !defined(NO_INTENT) && !defined(INTENT_LATE)
  intent[p] = 1
#endif
}
inline apply_mirror(val, st) {
#ifdef NO_COND
  ov = val; on = st;
#else
  if :: on < st -> ov = val; on = st :: else fi;
#endif
#ifdef PLAINDEL
  if :: val == 0 && on == st -> on = 0 :: else fi;
#endif
  assert(on == 0 || hist[on] == ov)                          /* I1 */
}

proctype process(byte me) {
  byte ops, rn, w, s, tries;
  bool ok;
  do
  :: ops < OPS && !done[me] ->
     atomic { ops++; tries = 0; if :: nextv < NV -> w = nextv; nextv++ :: w = 0 fi };
again:
     atomic { rn = hn };                                     /* strong read */
#ifdef O_FIRST
     atomic { apply_mirror(w, rn+1) };
#endif
     s = seq[me];
     if
     :: atomic {                                             /* the answer arrives */
          if
          :: PINOK(rn) && SLOTOK(me,s) -> apply_commit(me, w, rn, s); rn = hn; ok = 1
          :: !PINOK(rn) && SLOTOK(me,s) -> ok = 0            /* lost the race */
          :: !SLOTOK(me,s) -> goto dead
          fi };
        if :: ok -> goto committed
           :: !ok && tries < 1 -> tries++; goto again
           :: else -> goto clear                             /* Conflict told to the app: no effect */
        fi
     :: atomic { lates > 0 -> lates--;                       /* time-out */
          if
          :: PINOK(rn) && SLOTOK(me,s) -> apply_commit(me, w, rn, s)
          :: skip                                            /* dropped */
          :: lc[me] = 1; lcv[me] = w; lcn[me] = rn; lcs[me] = s
          fi }
     fi;
     /* ---- outcome unknown: resolve this attempt ---- */
#ifdef BLIND_RETRY
     if :: tries < 1 -> tries++; goto again :: else -> goto clear fi;
#endif
     atomic {                                                /* close attempt s and learn its fate */
       if :: closed[me] -> goto dead :: else fi;
       ok = intent[me];
#ifndef NO_BUMP
       seq[me]++;
       lc[me] = 0; lcv[me] = 0; lcn[me] = 0; lcs[me] = 0;    /* it can no longer apply (state reduction) */
#endif
       rn = hn;
       if :: ok -> skip
          :: !ok && w > 0 && tries >= 1 -> denied[w] = 1; goto clear
          :: !ok && w == 0 && tries >= 1 -> goto clear
          :: !ok && tries < 1 -> tries++; goto again
       fi };
     goto committed;                                         /* applied: converge what the home holds now */
committed:
#if defined(INTENT_LATE)
     atomic { if :: closed[me] -> goto dead :: else -> intent[me] = 1 fi };
#endif
#ifdef EARLY_CLEAR
     atomic { if :: closed[me] -> goto dead :: else -> intent[me] = 0 fi };
#endif
     /* ---- converge: mirror the home's record if newer ---- */
conv:
     atomic { w = hv; rn = hn };                             /* (fast path: own record, same thing) */
#ifdef NO_COND
     if :: 1 -> skip fi;
#endif
     if
     :: atomic { apply_mirror(w, rn) }
     :: atomic { lates > 0 -> lates--;                       /* mirror call times out: applied later or never */
          if :: lm[me] = 1; lmv[me] = w; lmn[me] = rn :: skip fi };
        goto conv                                            /* repeat: idempotent */
     fi;
clear:
     atomic { if :: closed[me] -> goto dead
                 :: else -> intent[me] = 0; rn = 0; w = 0; s = 0; tries = 0; ok = 0 fi }
  :: ops == OPS -> break
  od;
dead:
  done[me] = 1
}

proctype net() {                         /* delivers what is still under way, at any time or never */
  byte i;
  do
  :: atomic { lc[i] ->
       if :: PINOK(lcn[i]) && SLOTOK(i,lcs[i]) -> apply_commit(i, lcv[i], lcn[i], lcs[i]) :: else fi;
       lc[i] = 0; lcv[i] = 0; lcn[i] = 0; lcs[i] = 0; i = 0 }
  :: atomic { lm[i] -> apply_mirror(lmv[i], lmn[i]); lm[i] = 0; lmv[i] = 0; lmn[i] = 0; i = 0 }
  :: atomic { i + 1 < NP && (lc[NP-1] || lm[NP-1]) -> i = 1 }
  od
}

proctype recoverer() {
  byte i, rv, rn; bool need;
  do
  :: atomic {
       if :: !closed[0] && !recov[0] && !done[0] -> i = 0
#if NP > 1
          :: !closed[1] && !recov[1] && !done[1] -> i = 1
#endif
          :: else -> break
       fi;
#ifdef HELP_STALE
       rv = hv; rn = hn
#endif
     };
     atomic { closed[i] = 1; need = intent[i] };             /* CAS on the slot: fence and read in one step */
     if
     :: need ->
#ifndef NO_CONV
#ifndef HELP_STALE
        atomic { rv = hv; rn = hn };
#endif
        atomic { apply_mirror(rv, rn) };
#endif
        skip
     :: else
     fi;
     atomic { recov[i] = 1; i = 0; rv = 0; rn = 0; need = 0 }
  :: break
  od
}

#define Q(i) (recov[i] || (done[i] && !closed[i]))
#if NP > 1
#define QUIET (Q(0) && Q(1))
#else
#define QUIET (Q(0))
#endif
proctype monitor() {
  atomic { QUIET -> assert(ov == hv && on == hn) }           /* I3 */
}

init {
  atomic {
    nextv = 2; lates = LATES; hist[0] = 0;
    if
    :: hv = 1; hn = 1; hist[1] = 1; ov = 1; on = 1           /* exists, already mirrored */
    :: skip                                                  /* absent */
    fi;
    run process(0);
#if NP > 1
    run process(1);
#endif
    run net(); run recoverer(); run monitor()
  }
}
