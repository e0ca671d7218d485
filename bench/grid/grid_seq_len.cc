// Forward time of a stack of layers over the length of the sequence: from which length on a slice
// uses the device well.
#include "bench/grid/grid_program.h"

int main(int argc, char** argv) {
  return sluice::GridProgram(
      argc, argv,
      {.name = "grid_seq_len",
       .title = "Forward of a stack of layers over the length of the sequence",
       .program = {.purpose = "Times the forward of a stack of layers over seq_len.",
                   .example = "bazel run //bench:grid_seq_len -- --seq_lens=1:1024:8"},
       .cpu = {.num_layers = "24",
               .hidden_sizes = "1024",
               .seq_lens = "1,2,4,8,16,32,64,128,256,512,1024",
               .prefix_factors = "0"},
       .cuda = {.num_layers = "24",
                .hidden_sizes = "1024",
                .seq_lens = "1:1024",
                .prefix_factors = "0"}});
}
