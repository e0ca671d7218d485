// The free addresses between the blocks of an arena, searched in logarithmic time, because a long
// schedule has too many living blocks to visit all of them for each new one.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

// An unbounded range of addresses from 0 on, from which blocks are taken and given back.
class AddressGaps {
 public:
  // Takes the lowest `size` > 0 consecutive free addresses and returns the first of them.
  int64_t Take(int64_t size);

  // Gives back addresses that were taken.
  void Give(int64_t begin, int64_t size);

 private:
  // A gap is a node of a treap: ordered by `begin` from left to right, by `priority` from the root
  // down.
  struct Node {
    int64_t begin = 0;
    int64_t size = 0;
    int64_t max_size = 0;  // of this gap and all below it
    uint32_t priority = 0;
    int left = kNone, right = kNone;
  };
  static constexpr int kNone = -1;

  // Each returns the new root of the subtree that it changed.
  int TakeFrom(int root, int64_t size, int64_t* begin);
  int Insert(int root, int node);
  int Erase(int root, int64_t begin);
  int Merge(int left, int right);
  // Splits a subtree into the gaps below `begin` and the others.
  void Split(int root, int64_t begin, int* left, int* right);

  // The gap with the highest begin that is not above `begin`, or kNone.
  int FindAtOrBelow(int64_t begin) const;
  int NewNode(int64_t begin, int64_t size);
  int Update(int root);
  int64_t MaxSize(int root) const { return root == kNone ? 0 : nodes_[root].max_size; }

  std::vector<Node> nodes_;
  std::vector<int> free_nodes_;
  int root_ = kNone;
  int64_t end_ = 0;  // all addresses from here on are free; no gap ends here
  uint32_t last_priority_ = 1;
};

}  // namespace sluice
