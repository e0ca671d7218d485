// Forward time over model sizes, slice lengths and prefix lengths: the cost of each cut of a
// pipeline over slices.
#include "bench/grid/grid_program.h"

int main(int argc, char** argv) {
  return sluice::GridProgram(
      argc, argv,
      {.name = "grid_forward",
       .title = "Forward of a stack of layers behind a cached prefix",
       .program = {.purpose = "Times the forward over num_layers x hidden_size x seq_len x prefix.",
                   .example = "bazel run //bench:grid_forward -- --hidden_sizes=768,1024 "
                              "--prefix_factors=0,8"},
       .cpu = {.num_layers = "3,6",
               .hidden_sizes = "768,1024",
               .seq_lens = "128,256,512",
               .prefix_factors = "0,1,2,4,8"},
       .cuda = {.num_layers = "3,6,12,24",
                .hidden_sizes = "768,1024,1536,2048,3072,4096",
                .seq_lens = "128,256,512,1024",
                .prefix_factors = "0,1,2,4,8"}});
}
