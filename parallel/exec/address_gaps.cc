#include "parallel/exec/address_gaps.h"

#include <algorithm>

#include "core/base/check.h"

namespace sluice {

int64_t AddressGaps::Take(int64_t size) {
  SLUICE_CHECK_GT(size, 0);
  int64_t begin = end_;
  if (MaxSize(root_) >= size) {
    root_ = TakeFrom(root_, size, &begin);
  } else {
    end_ += size;
  }
  return begin;
}

void AddressGaps::Give(int64_t begin, int64_t size) {
  int64_t end = begin + size;
  const int below = FindAtOrBelow(begin);
  if (below != kNone && nodes_[below].begin + nodes_[below].size == begin) {
    begin = nodes_[below].begin;
    root_ = Erase(root_, begin);
  }
  const int above = FindAtOrBelow(end);
  if (above != kNone && nodes_[above].begin == end) {
    end += nodes_[above].size;
    root_ = Erase(root_, nodes_[above].begin);
  }
  if (end == end_) {
    end_ = begin;
  } else {
    root_ = Insert(root_, NewNode(begin, end - begin));
  }
}

int AddressGaps::TakeFrom(int root, int64_t size, int64_t* begin) {
  if (MaxSize(nodes_[root].left) >= size) {
    nodes_[root].left = TakeFrom(nodes_[root].left, size, begin);
  } else if (nodes_[root].size >= size) {
    *begin = nodes_[root].begin;
    if (nodes_[root].size == size) return Erase(root, *begin);
    nodes_[root].begin += size;
    nodes_[root].size -= size;
  } else {
    nodes_[root].right = TakeFrom(nodes_[root].right, size, begin);
  }
  return Update(root);
}

int AddressGaps::Insert(int root, int node) {
  if (root == kNone) return node;
  if (nodes_[node].priority > nodes_[root].priority) {
    Split(root, nodes_[node].begin, &nodes_[node].left, &nodes_[node].right);
    return Update(node);
  }
  int& side = nodes_[node].begin < nodes_[root].begin ? nodes_[root].left : nodes_[root].right;
  side = Insert(side, node);
  return Update(root);
}

int AddressGaps::Erase(int root, int64_t begin) {
  SLUICE_CHECK_NE(root, kNone);
  if (nodes_[root].begin == begin) {
    free_nodes_.push_back(root);
    return Merge(nodes_[root].left, nodes_[root].right);
  }
  int& side = begin < nodes_[root].begin ? nodes_[root].left : nodes_[root].right;
  side = Erase(side, begin);
  return Update(root);
}

int AddressGaps::Merge(int left, int right) {
  if (left == kNone) return right;
  if (right == kNone) return left;
  if (nodes_[left].priority > nodes_[right].priority) {
    nodes_[left].right = Merge(nodes_[left].right, right);
    return Update(left);
  }
  nodes_[right].left = Merge(left, nodes_[right].left);
  return Update(right);
}

void AddressGaps::Split(int root, int64_t begin, int* left, int* right) {
  if (root == kNone) {
    *left = *right = kNone;
  } else if (nodes_[root].begin < begin) {
    Split(nodes_[root].right, begin, &nodes_[root].right, right);
    *left = Update(root);
  } else {
    Split(nodes_[root].left, begin, left, &nodes_[root].left);
    *right = Update(root);
  }
}

int AddressGaps::FindAtOrBelow(int64_t begin) const {
  int found = kNone;
  for (int node = root_; node != kNone;) {
    if (nodes_[node].begin <= begin) {
      found = node;
      node = nodes_[node].right;
    } else {
      node = nodes_[node].left;
    }
  }
  return found;
}

int AddressGaps::NewNode(int64_t begin, int64_t size) {
  if (free_nodes_.empty()) {
    free_nodes_.push_back(static_cast<int>(nodes_.size()));
    nodes_.emplace_back();
  }
  const int node = free_nodes_.back();
  free_nodes_.pop_back();
  // Any sequence without a pattern balances the tree: this is xorshift.
  last_priority_ ^= last_priority_ << 13;
  last_priority_ ^= last_priority_ >> 17;
  last_priority_ ^= last_priority_ << 5;
  nodes_[node] = {.begin = begin, .size = size, .max_size = size, .priority = last_priority_};
  return node;
}

int AddressGaps::Update(int root) {
  Node& node = nodes_[root];
  node.max_size = std::max({node.size, MaxSize(node.left), MaxSize(node.right)});
  return root;
}

}  // namespace sluice
