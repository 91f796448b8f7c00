/*
 * stages.pml - fleet-wide stage protocol, one record (one key bucket).
 *
 * Stores 0 = source S, 1 = target T.  Record: v value (0 = deleted/absent), n stamp
 * (0 = never existed, 1 = legacy, unstamped).  Control record: ctrl, an index into path[].
 * Each process has a member record mep[] = epoch it has acknowledged (and works under),
 * and slots in both stores; open/closed is one bit here.  A commit is
 * record and slot in one step; write_path.pml justifies that step.
 *
 * Stage                 home  mirror  reads   writes
 *  0 ARMED               S     -      S       plain, unstamped, physical deletes
 *  1 PREPARE             S     -      S       stamped, tombstones, slots
 *  2 DUAL_WRITE          S     T      S       home commit, then converge to T (also DUAL_READ at dial 0)
 *  3 FROZEN              S,T   -      wait    wait
 *  4 DUAL_READ, dial 100 T     S      T       home commit, then converge to S
 *  5 TARGET_ONLY         T     -      T       stamped
 *
 * Ghost: abs = abstract value, changed at the commit.  Checked:
 *  C1 every commit is made on top of abs              (no lost update, one authority)
 *  C2 a value returned to a reader was abs at some instant of the read   (linearizable)
 *  C3 a commit that is acknowledged is abs's history  (follows from C1, C4)
 *  C4 when the fleet has settled: home == abs, and in mirrored stages S == T; it stays so
 *     whatever zombies, late calls and old copiers still do
 *
 *  C5 a conditional commit is decided on the value it was computed from (also across ARMED | PREPARE)
 *
 * Guards removed by -D:
 *  CLOSE_S_ONLY / CLOSE_T_ONLY  slots closed in one store only
 *  WEAK_TOKEN condition on the stamp only, although the record is unstamped
 *  NO_ACKS    next epoch without waiting            NO_DRAIN    acknowledges with work outstanding
 *  NO_FENCE   commits do not check the slot         NO_RECOVER  closed process is not converged
 *  NO_LEASE   reads returned without lease check    FZ_HOME     FROZEN reads the old home only
 *  FZ_WRITE   FROZEN does not stop writes           JOIN_BLIND  joins without re-reading control
 *  BF_EARLY   copier starts when control says DUAL_WRITE, not when all have acknowledged
 *  BF_BLIND   copier overwrites                     BF_IFABSENT copier inserts only if absent
 *  PLAINDEL   no tombstones                         MIRROR_BLIND mirror write unconditional
 *  PLAIN_NOLEASE  writes of ARMED are sent without a lease check
 *  NO_QUARANTINE a process leaves ARMED without waiting for late plain calls
 *  OLD_COPY   a copy counts although some did not mirror for a while (PATH 14)
 *  NO_BFGATE  FROZEN allowed before the copy is complete
 * Variants: LATEJOIN second process joins later; BFPENDING path starts with the copy still to do;
 * TWOCOPIERS a given-up copier still runs beside its successor.
 * Paths that skip a stage are guards too: PATH 2 (no PREPARE), 3 (no FROZEN), 7.
 */
#ifndef OPS
#define OPS 2
#endif
#ifndef FENCES
#define FENCES 1
#endif
#ifndef LATES
#define LATES 1
#endif
#ifndef FAILS
#define FAILS 1
#endif
#ifndef PATH
#define PATH 1
#endif
#if PATH==1             /* the whole way */
#define NE 6
#define PATHINIT path[0]=0;path[1]=1;path[2]=2;path[3]=3;path[4]=4;path[5]=5
#elif PATH==2           /* wrong: skip PREPARE */
#define NE 2
#define PATHINIT path[0]=0;path[1]=2
#elif PATH==3           /* wrong: skip FROZEN */
#define NE 2
#define PATHINIT path[0]=2;path[1]=4
#elif PATH==4           /* forward, then rolled back */
#define NE 5
#define PATHINIT path[0]=2;path[1]=3;path[2]=4;path[3]=3;path[4]=2
#elif PATH==5           /* freeze aborted, then done */
#define NE 5
#define PATHINIT path[0]=2;path[1]=3;path[2]=2;path[3]=3;path[4]=4
#elif PATH==6           /* the start only */
#define NE 3
#define PATHINIT path[0]=0;path[1]=1;path[2]=2
#elif PATH==7           /* wrong: the seed's ladder, dual-read straight to target-only */
#define NE 2
#define PATHINIT path[0]=2;path[1]=5
#elif PATH==8           /* hand-over and point of no return */
#define NE 4
#define PATHINIT path[0]=2;path[1]=3;path[2]=4;path[3]=5
#elif PATH==10          /* hand-over only */
#define NE 3
#define PATHINIT path[0]=2;path[1]=3;path[2]=4
#elif PATH==11          /* roll-back freeze aborted, then done */
#define NE 5
#define PATHINIT path[0]=4;path[1]=3;path[2]=4;path[3]=3;path[4]=2
#elif PATH==9           /* wrong: undo the point of no return */
#define NE 3
#define PATHINIT path[0]=4;path[1]=5;path[2]=4
#elif PATH==12          /* PREPARE given up, then done */
#define NE 5
#define PATHINIT path[0]=0;path[1]=1;path[2]=0;path[3]=1;path[4]=2
#elif PATH==13          /* DUAL_WRITE given up, then done: it wants a copy of its own */
#define NE 4
#define PATHINIT path[0]=1;path[1]=2;path[2]=1;path[3]=2
#elif PATH==14          /* the way back to PREPARE given up: the copy counts no more */
#define NE 3
#define PATHINIT path[0]=2;path[1]=1;path[2]=2
#endif
#if PATH==13            /* first epoch in which the copier of this path may start */
#define FROM 3
#elif PATH==14 && !defined(OLD_COPY)
#define FROM 2
#else
#define FROM 0
#endif

byte path[NE];
byte v[2], n[2], abs, nextw;
byte ctrl, mep[2];
bool member[2], closed[2], gone[2], recov[2], intent[2], done[2], coorddone, bfdone;
byte ihome[2];                        /* store that holds the intent */
byte rmask[2];                        /* values abs has had since the read began */
bool lw[2]; byte lwv[2], lwn[2], lwp[2], lwr[2]; bool lplain[2];   /* late home write; lwr: value it was decided on */
bool slotc[4];                        /* slot of process p in store h is closed: [2*p+h] */
byte fences, lates, fails;

#define ST(e)   (path[e])
#define HOME(s) ((s)>=4 -> 1 : 0)
#define MIR(s)  ((s)==2 || (s)==4)

#ifdef NO_FENCE
#define OPEN(p,h) (1)
#else
#define OPEN(p,h) (!slotc[2*(p)+(h)])
#endif
#ifdef WEAK_TOKEN
#define SAME(h,val,st) (n[h] == (st))
#else
#define SAME(h,val,st) (v[h] == (val) && n[h] == (st))   /* token of an unstamped record: native version or all fields */
#endif

#ifdef PLAIN_NOLEASE
#define PLAINOK(p) (1)
#else
#define PLAINOK(p) (!gone[p])         /* plain calls have no slot: own lease checked when sent */
#endif

inline setabs(x) { abs = x; rmask[0] = rmask[0] | (1<<x); rmask[1] = rmask[1] | (1<<x) }

inline commit(h, val, st, plain) {     /* conditions already checked */
  assert(v[h] == abs);                                            /* C1 */
  v[h] = val;
  if
  :: plain -> if :: val == 0 -> n[h] = 0 :: else -> n[h] = 1 fi
  :: else -> n[h] = st + 1;
#ifdef PLAINDEL
     if :: val == 0 -> n[h] = 0 :: else fi
#endif
  fi;
  setabs(val)
}
inline mirror(q, val, st) {
#ifdef MIRROR_BLIND
  v[q] = val; n[q] = st;
#else
  if :: n[q] < st -> v[q] = val; n[q] = st :: else fi;
#endif
#ifdef PLAINDEL
  if :: val == 0 -> v[q] = 0; n[q] = 0 :: else fi;
#endif
}

#ifdef NO_DRAIN
#define DRAINED(p) (1)
#else
#ifdef NO_QUARANTINE
#define DRAINED(p) (!intent[p] && (!lw[p] || lplain[p]))
#else
#define DRAINED(p) (!intent[p] && !lw[p])
#endif
#endif

/* What a process admits while its bucket is frozen: nothing. */
#if defined(FZ_WRITE)
#define READS(s)  (1)
#define WRITES(s) (1)
#elif defined(FZ_HOME)
#define READS(s)  (1)
#define WRITES(s) ((s) != 3)
#else
#define READS(s)  ((s) != 3)
#define WRITES(s) ((s) != 3)
#endif

proctype client(byte me; byte latejoin) {
  byte ops, ep, st, h, w, rv, rn, tries;
  bool isread;

  /* ---- join: write the member record, then re-read control ---- */
  if
  :: latejoin ->
     atomic { ep = ctrl };
     atomic { mep[me] = ep; member[me] = 1 };
#ifndef JOIN_BLIND
rej: atomic { if :: ctrl == mep[me] -> skip :: else -> mep[me] = ctrl; goto rej fi };
#endif
     ep = 0
  :: else
  fi;

  do
  :: atomic { ops < OPS && READS(ST(mep[me])) ->
       ops++; tries = 0;
       ep = mep[me]; st = ST(ep); h = HOME(st);
       isread = 1; rmask[me] = 1<<abs;
       if :: 1 :: WRITES(st) && (st == 0 || !intent[me]) -> isread = 0 fi    /* one slot: free it first */
     };
     if
     :: isread ->
        atomic { rv = v[h] };
        atomic {
          if
#ifndef NO_LEASE
          :: gone[me] -> skip                        /* own lease has run out: result withheld */
#endif
          :: else -> assert((rmask[me] & (1<<rv)) != 0)           /* C2 */
          fi;
          rv = 0; rn = 0; rmask[me] = 0; isread = 0; st = 0; h = 0; ep = 0 }
     :: else ->
        atomic { rmask[me] = 0; isread = 0; if :: nextw < 7 -> w = nextw; nextw++ :: w = 0 fi };
        if
        :: st == 0 ->
           if
           :: atomic { PLAINOK(me) -> commit(0, w, 0, 1) }
           :: atomic { PLAINOK(me) && lates > 0 -> lates--; lw[me] = 1; lplain[me] = 1; lwv[me] = w }
#ifndef PLAIN_NOLEASE
           :: atomic { !PLAINOK(me) -> goto out }
#endif
           fi
        :: else ->
again:     atomic { rv = v[h]; rn = n[h] };
           if
           :: atomic {
                if
                :: !OPEN(me,h) -> goto out
                :: OPEN(me,h) && SAME(h,rv,rn) ->
                   assert(v[h] == rv);                            /* C5 */
                   commit(h, w, rn, 0); rn = n[h];
                   if :: MIR(st) -> intent[me] = 1; ihome[me] = h :: else fi
                :: else -> if :: tries < 1 -> tries++; goto again :: else -> goto fin fi
                fi }
           :: atomic { lates > 0 && !lw[me] -> lates--;        /* times out; may land later. Unresolved until the slot is bumped */
                lw[me] = 1; lwv[me] = w; lwn[me] = rn; lwr[me] = rv; lwp[me] = h; goto fin }
           fi;
           /* converge; acknowledged to the application here, whether or not it worked (policy queue) */
           if
           :: MIR(st) ->
              if
              :: atomic { mirror(1-h, w, rn); if :: !closed[me] -> intent[me] = 0 :: else fi }
              :: atomic { fails > 0 -> fails-- }               /* other store down: stays in the slot */
              fi
           :: else
           fi;
fin:       skip
        fi;
        atomic { w = 0; rv = 0; rn = 0; tries = 0; st = 0; h = 0; ep = 0 }
     fi
  :: intent[me] && !closed[me] && !lw[me] ->                   /* drain: converge the key of my slot */
     atomic { h = ihome[me]; rv = v[h]; rn = n[h] };
     atomic { if :: ST(mep[me]) >= 2 -> mirror(1-h, rv, rn) :: else fi; if :: !closed[me] -> intent[me] = 0 :: else fi; rv = 0; rn = 0; h = 0 }
  :: atomic { lw[me] && !lplain[me] && !closed[me] -> lw[me] = 0; lwv[me] = 0; lwn[me] = 0; lwr[me] = 0; lwp[me] = 0 }  /* resolve: bump the slot; not applied, never will be */
  :: atomic { !closed[me] && mep[me] < ctrl && DRAINED(me) -> mep[me]++ }      /* acknowledge */
  :: ops >= OPS && mep[me] == NE-1 && !intent[me] && !lw[me] -> break
  :: ops >= OPS && closed[me] -> break
  od;
out:
  done[me] = 1
}

proctype net() {
  byte i;
  do
  :: atomic { lw[i] ->
       if
       :: lplain[i] -> commit(0, lwv[i], 0, 1)
       :: !lplain[i] && OPEN(i,lwp[i]) && SAME(lwp[i],lwr[i],lwn[i]) ->
          assert(v[lwp[i]] == lwr[i]);                            /* C5 */
          commit(lwp[i], lwv[i], lwn[i], 0);
          if :: MIR(ST(mep[i])) -> intent[i] = 1; ihome[i] = lwp[i] :: else fi
       :: else
       fi;
       lw[i] = 0; lplain[i] = 0; lwv[i] = 0; lwn[i] = 0; lwr[i] = 0; lwp[i] = 0; i = 0 }
  :: atomic { lw[i] && lplain[i] -> lw[i] = 0; lplain[i] = 0; lwv[i] = 0; i = 0 }    /* lost for good */
  :: atomic { i == 0 && lw[1] -> i = 1 }
  od
}

#define SETTLED(i)  (!member[i] || (closed[i] && recov[i]) || (!closed[i] && mep[i] == ctrl))
#define COPYING(e)  (ST(e) >= 2 && (e) >= FROM)
#define SETTLED2(i) (!member[i] || (closed[i] && recov[i]) || (!closed[i] && COPYING(mep[i])))
#define ALLSET (SETTLED(0) && SETTLED(1))
#ifdef NO_ACKS
#define MAYGO (1)
#elif defined(ABORT_EARLY)   /* FROZEN may go back to where it came from without waiting */
#define MAYGO (ALLSET || (ctrl > 0 && path[ctrl] == 3 && path[ctrl+1] == path[ctrl-1]))
#elif defined(ABORT_STAGE)   /* the first stage change may go back to where it came from without waiting */
#define MAYGO (ALLSET || (ctrl == 1 && path[2] == path[0]))
#elif defined(ABORT_ANY)     /* negative control: leave FROZEN in any direction without waiting */
#define MAYGO (ALLSET || path[ctrl] == 3)
#else
#define MAYGO (ALLSET)
#endif
#ifdef NO_BFGATE
#define GATE (1)
#else
#define GATE (!(ST(ctrl) == 2 && ST(ctrl+1) > 2) || bfdone)
#endif

/* copier; two incarnations, the first may have been given up and still run */
proctype copier() {
  byte bv, bn;
  if
  :: ST(0) >= 2 && FROM == 0 -> skip
  :: else ->
#ifdef BF_EARLY
     atomic { COPYING(ctrl) -> skip }
#else
     atomic { COPYING(ctrl) && SETTLED2(0) && SETTLED2(1) -> skip }
#endif
  fi;
  atomic { bv = v[0]; bn = n[0] };
  if
  :: bn == 0 -> skip                                  /* a scan does not see absent keys */
  :: else ->
#if defined(BF_BLIND)
     atomic { v[1] = bv; n[1] = bn }
#elif defined(BF_IFABSENT)
     atomic { if :: n[1] == 0 -> v[1] = bv; n[1] = bn :: else fi }
#else
     atomic { if :: n[1] < bn -> v[1] = bv; n[1] = bn :: else fi }
#endif
  fi;
  bfdone = 1
}

proctype coordinator() {
  byte i, p, rv, rn; bool need;
  do
  :: atomic { ctrl < NE-1 && MAYGO && GATE -> ctrl++ }
  :: fences > 0 ->
     atomic {                                           /* a process is taken for dead, rightly or not: close its slots */
       if :: member[0] && !closed[0] && !done[0] -> i = 0
          :: member[1] && !closed[1] && !done[1] -> i = 1
          :: else -> goto nf
       fi;
       fences--; closed[i] = 1 };                       /* 1 member record: can no longer acknowledge */
#ifndef CLOSE_T_ONLY
     atomic { slotc[2*i] = 1; if :: intent[i] && ihome[i] == 0 -> need = 1; p = 0 :: else fi };   /* 2 slots in S */
#endif
#ifndef CLOSE_S_ONLY
     atomic { slotc[2*i+1] = 1; if :: intent[i] && ihome[i] == 1 -> need = 1; p = 1 :: else fi }; /* 3 slots in T */
#endif
#ifndef NO_RECOVER
     if
     :: need ->
        atomic { rv = v[p]; rn = n[p] };
        atomic { if :: ST(ctrl) >= 2 -> mirror(1-p, rv, rn) :: else fi }
     :: else
     fi;
#endif
     atomic { gone[i] = 1 };                            /* its lease has run out on its own clock */
#ifndef NO_QUARANTINE
     atomic { !(lw[i] && lplain[i]) -> skip };          /* plain calls sent before that: quarantine */
#endif
     atomic { recov[i] = 1; intent[i] = 0; i = 0; p = 0; need = 0; rv = 0; rn = 0 };
nf:  skip
  :: ctrl == NE-1 && ALLSET -> break
  od;
  coorddone = 1
}

#define QUIET(i) (!member[i] || (closed[i] && recov[i]) || (done[i] && !closed[i]))
proctype monitor() {
  atomic {
    coorddone && bfdone && QUIET(0) && QUIET(1) ->
    assert(v[HOME(ST(ctrl))] == abs);                             /* C4 */
    assert(!MIR(ST(ctrl)) || (v[0] == v[1] && n[0] == n[1]))
  }
}

init {
  atomic {
    PATHINIT; fences = FENCES; lates = LATES; fails = FAILS; nextw = 2;
    if :: v[0] = 1; n[0] = 1; abs = 1 :: skip fi;
#ifndef BFPENDING
    if :: path[0] >= 2 -> v[1] = v[0]; n[1] = n[0] :: else fi;
#endif
    member[0] = 1;
#ifdef LATEJOIN
    run client(1, 1);
#else
    member[1] = 1; run client(1, 0);
#endif
    run client(0, 0);
    if
#ifndef BFPENDING
    :: path[0] >= 2 -> bfdone = 1; run copier()                   /* an old copier still runs */
#endif
    :: else -> run copier()
#ifdef TWOCOPIERS
       ; run copier()
#endif
    fi;
    run net(); run coordinator(); run monitor()
  }
}
