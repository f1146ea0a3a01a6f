-- A transaction that somebody holds open keeps in every index what was ready, sent or unclear since then. Claims therefore
-- look from a time on (src/ledger/sql/front.rs): each kind by the time at which it falls due. The condition of the first is
-- written such that who asks in these words gets this index, and never the one by rank.
CREATE INDEX IF NOT EXISTS errand_due ON errand (edge, due_at, rank) WHERE '' || state = 'ready';
CREATE INDEX IF NOT EXISTS errand_unclear ON errand (edge, due_at) WHERE state = 'unclear';
CREATE INDEX IF NOT EXISTS errand_leased ON errand (edge, lease_until) WHERE state = 'sending';
DROP INDEX IF EXISTS errand_held;
-- The same of orders that want a plan: as many are dead, and of the few that wait the index by state seems to tell as well.
DROP INDEX IF EXISTS assignment_to_plan;
CREATE INDEX assignment_to_plan ON assignment (revocation, plan_at, id) WHERE '' || state IN ('received', 'planned') AND parked_at IS NULL;
