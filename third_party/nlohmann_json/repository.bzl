"""nlohmann/json: safetensors headers and every JSON result."""

load("//third_party/system_library:system_library.bzl", "system_library")

def nlohmann_json():
    system_library(
        name = "nlohmann_json",
        apt_packages = ["nlohmann-json3-dev"],
        headers = ["nlohmann"],
        module = "nlohmann_json",
    )
