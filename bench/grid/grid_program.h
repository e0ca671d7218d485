// The flags and the main function of the grid searches.
//
//   --num_layers --hidden_sizes --seq_lens --prefix_factors      the axes (axis.h)
//   --device --dtype --threads --batch_size --head_dim --seed --n_steps
//   --out=NAME: NAME.jsonl and NAME.svg are written; --resume continues NAME.jsonl
#pragma once

#include <string>

#include "core/cli/main.h"

namespace sluice {

// Axes, as text for ParseAxis.
struct AxisTexts {
  std::string num_layers, hidden_sizes, seq_lens, prefix_factors;
};

struct GridProgramInfo {
  std::string name;   // of the program, and of its files without --out
  std::string title;  // of the figure
  ProgramInfo program;
  AxisTexts cpu;   // finishes within two minutes on two cores
  AxisTexts cuda;  // the whole grid
};

// Returns the exit code of sluice::Main.
int GridProgram(int argc, char** argv, const GridProgramInfo& info);

}  // namespace sluice
