#include "core/model/model_config.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(ModelConfig, NamedModelsAreValidAndDistinct) {
  for (const ModelConfig& model : NamedModels()) {
    EXPECT_NO_THROW(Validate(model)) << model.name;
    EXPECT_EQ(FindModel(model.name).num_layers, model.num_layers) << "named twice: " << model.name;
  }
  EXPECT_EQ(FindModel("gpt3-1b").hidden_size, 2048);
}

TEST(ModelConfig, CountsTheParametersItLists) {
  for (const ModelConfig& model : NamedModels()) {
    const std::vector<ParameterSpec> parameters = LayerParameters(model);
    ASSERT_EQ(parameters.size(), static_cast<size_t>(kNumLayerParameters));
    int64_t per_layer = 0;
    for (const ParameterSpec& parameter : parameters) per_layer += parameter.shape.num_elements();
    EXPECT_EQ(NumParameters(model), model.num_layers * per_layer) << model.name;
  }
  EXPECT_THROW(NumParameters({"huge", 1'000'000'000, 1'000'000'000, 1, 1}), Error);
}

TEST(ModelConfig, RefusesHeadsThatDoNotDivide) {
  try {
    Validate({"odd", 1, 12, 8, 5});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "hidden_size 12 is not divisible by num_heads 5; valid: 1, 2, 3, 4, 6, 12");
  }
  EXPECT_THROW(Validate({"none", 1, 12, 8, 0}), Error);
  EXPECT_THROW(Validate({"none", -1, 12, 8, 1}), Error);
}

TEST(ModelConfig, SuggestsANearName) {
  try {
    FindModel("gpt2-1h");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'gpt2-1hm'"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace sluice
