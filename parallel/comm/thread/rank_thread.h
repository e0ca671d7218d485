// How the system runs the threads of ranks: two hints, which bind nothing.
//
// Where ranks do not outnumber the cores, each begins on a core of its own: ranks that wake each
// other are often put on one core, and stay there while they only spin.
//
// Where they do outnumber them, a rank is left alone for up to 100 ms before another has its turn,
// instead of about 3 ms: a turn in the middle of an op costs the rank what it had in the core's
// caches.  Ranks that wait give their turn away at once.
#pragma once

namespace sluice::internal {

// For the calling thread, of rank `rank` of `world_size` in this process.  Does nothing where the
// system does not know or allow it (time slices: Linux 6.12 and newer), or where somebody has
// chosen another scheduling policy.
void ScheduleRankThread(int rank, int world_size);

}  // namespace sluice::internal
