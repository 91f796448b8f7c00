/*
 * movement.pml - the seed's movement table, for a store without conditional writes.
 *
 * One record, source S (home) and target T; T takes plain overwrites only.  The movement
 * table lives in a store that does have conditional writes (the control store): one row
 * per key under work: owner, token.  A lease may be taken over when its holder is thought
 * dead - also wrongly, also while a call of the holder is still under way.
 *
 * Writers: lock, write S, write T, unlock.   Copier: lock, read S, write T, unlock.
 * Takeover rule of the design: before a taken-over lock is used, wait until no call of the
 * old holder can land any more (quarantine), then copy S to T, then use the lock.
 *
 * M1  when everybody has finished or been taken over: T == S.    M2  no lost update at S.
 * -DSEED          the seed as written: the writer only READS the table; only the copier locks
 *                 (with -DONE_WRITER too: writer against copier, the trace of docs/protocol.md)
 * -DNO_LOCK       nobody locks
 * -DNO_QUAR       takeover without quarantine
 * -DNO_RESYNC     takeover without copying the key again
 * -DNO_OWNER      unlock without checking that I still own the row
 * -DNO_SELF       holder goes on writing without checking its own lease before each call
 */
byte s, t, nextw;
byte owner;                            /* 0 free, 1..3 holder */
bool dead[4], done[4];
bool late[4]; byte latev[4];           /* a write to T still under way */
bool lates;                            /* budget */
byte takeovers;

#ifdef NO_SELF
#define OWN(i) (1)
#else
#define OWN(i) (owner == (i))
#endif

inline unlock(i) {
#ifdef NO_OWNER
  owner = 0
#else
  atomic { if :: owner == i -> owner = 0 :: else fi }         /* one conditional write */
#endif
}
inline lock(i) {
  atomic { (owner == 0 || dead[i]) -> if :: dead[i] -> goto out :: else -> owner = i fi }
}
/* own lease is checked and the call is sent in one step: how long the call then takes is the quarantine's matter */
inline writeT(i, x) {
  if
  :: atomic { OWN(i) -> t = x }
  :: atomic { OWN(i) && !lates -> lates = 1; late[i] = 1; latev[i] = x };
     atomic { dead[i] || !late[i] -> if :: dead[i] -> goto out :: else fi }     /* no answer: waits, holding the lock */
  :: atomic { !OWN(i) -> goto out }
  fi
}

proctype writer(byte me) {
  byte w, r;
  atomic { w = nextw; nextw++ };
#ifdef SEED
  atomic { owner == 0 -> skip };       /* allowed: the table has no row for this key */
  atomic { s = w };
  atomic { t = w };
#else
#ifndef NO_LOCK
  lock(me);
#endif
#ifdef NO_LOCK
  s = w; t = w;
#else
  atomic { if :: OWN(me) -> s = w :: else -> goto out fi };
  writeT(me, w);
  unlock(me);
#endif
#endif
out: done[me] = 1
}
proctype copier(byte me) {
  byte r;
#ifndef NO_LOCK
  lock(me);
#endif
  r = s;
#ifdef NO_LOCK
  t = r;
#else
  writeT(me, r);
  unlock(me);
#endif
out: done[me] = 1
}
inline land(i) { t = latev[i]; late[i] = 0; latev[i] = 0 }
proctype net() {                       /* delivers what is still under way, at any time or never */
  do
  :: atomic { late[1] -> land(1) }
  :: atomic { late[2] -> land(2) }
  :: atomic { late[3] -> land(3) }
  od
}
proctype reaper() {                    /* takes over the lock of a holder that is thought dead */
  byte o, r;
  do
  :: takeovers > 0 && owner > 0 && owner < 4 ->
     atomic { if :: owner > 0 && owner < 4 -> o = owner; dead[o] = 1; owner = 4; takeovers-- :: else -> goto nx fi };
#ifndef NO_QUAR
     atomic { !late[o] -> skip };
#endif
#ifndef NO_RESYNC
     r = s; t = r;
#endif
     atomic { owner = 0; o = 0; r = 0 };
nx:  skip
  :: break
  od;
  done[0] = 1
}
#define QUIET (done[0] && (done[1] || dead[1]) && (done[2] || dead[2]) && (done[3] || dead[3]) && owner == 0)
proctype monitor() { atomic { QUIET -> assert(t == s) } }
init { atomic { s = 1; nextw = 2; takeovers = 1;
  run writer(1);
#ifdef ONE_WRITER
  done[2] = 1;
#else
  run writer(2);
#endif
  run copier(3); run net(); run reaper(); run monitor() } }
