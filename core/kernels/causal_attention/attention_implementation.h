// Which code computes causal attention on cuda (causal_attention_cuda.h).  On the cpu there is one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class CausalAttentionImplementation : uint8_t { kTile, kHopper, kSmall, kCudnn };

// "tile", "hopper", "small", "cudnn".
std::string_view Name(CausalAttentionImplementation implementation);

// What the flag --attention takes: "default", which is what the device chooses by itself, and the
// names above.
std::vector<std::string> AttentionChoices();

// Nothing for "default".  Throws Error with a suggestion on what is no choice.
std::optional<CausalAttentionImplementation> ParseAttention(std::string_view choice);

}  // namespace sluice
