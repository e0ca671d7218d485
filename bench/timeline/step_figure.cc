#include "bench/timeline/step_figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "bench/svg/svg.h"
#include "core/base/check.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

constexpr double kWidth = 1180, kLeft = 64, kRight = 20, kTop = 58;
constexpr double kHeadingHeight = 20, kTitleHeight = 18, kBoxHeight = 20, kStripHeight = 10,
                 kRowGap = 5;
constexpr double kAxisHeight = 34;
constexpr double kDigitWidth = 6.2;  // at the font size of boxes; fonts differ, so this is generous
constexpr double kBytesPerMib = 1 << 20;

struct Panel {
  const TimedStep* step;
  const StepTimeline* timeline;
  std::string_view label;
};

struct Color {
  int red, green, blue;
};

Color ColorOf(OpKind kind) {
  switch (kind) {
    case OpKind::kForward:
      return {0x00, 0x72, 0xb2};
    case OpKind::kBackwardInput:
      return {0x2a, 0xa1, 0x98};
    case OpKind::kBackwardWeight:
      return {0x8f, 0xbf, 0x3f};
    default:
      return {0xe6, 0x9f, 0x00};
  }
}

// `share` of the way to white.
std::string Lightened(const Color& color, double share) {
  const auto lightened = [&](int value) {
    return static_cast<int>(std::lround(value + share * (255 - value)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", lightened(color.red), lightened(color.green),
                     lightened(color.blue));
}

// The position of each stage among the stages of its rank: its chunk.
std::vector<int> ChunksOfStages(const Schedule& schedule) {
  std::vector<int> num_stages_of_rank(static_cast<size_t>(schedule.num_ranks));
  std::vector<int> chunks;
  for (const int rank : schedule.rank_of_stage) {
    chunks.push_back(num_stages_of_rank[static_cast<size_t>(rank)]++);
  }
  return chunks;
}

double BubbleFraction(const Panel& panel) {
  double busy_s = 0;
  for (size_t rank = 0; rank < panel.timeline->op_times.size(); ++rank) {
    const std::vector<Op>& ops = panel.step->schedule.ops_of_rank[rank];
    for (size_t i = 0; i < ops.size(); ++i) {
      const OpTime& time = panel.timeline->op_times[rank][i];
      if (IsCompute(ops[i].kind)) busy_s += time.end_s - time.start_s;
    }
  }
  return 1 - busy_s / (panel.step->schedule.num_ranks * panel.timeline->duration_s);
}

int64_t PeakBytes(const Panel& panel) {
  int64_t peak_bytes = 0;
  for (int rank = 0; rank < panel.step->schedule.num_ranks; ++rank) {
    for (const ActivationPoint& point : ActivationCurve(*panel.step, *panel.timeline, rank)) {
      peak_bytes = std::max(peak_bytes, point.bytes);
    }
  }
  return peak_bytes;
}

class Drawing {
 public:
  explicit Drawing(const std::vector<Panel>& panels) {
    for (const Panel& panel : panels) {
      duration_s_ = std::max(duration_s_, panel.timeline->duration_s);
      peak_bytes_ = std::max(peak_bytes_, PeakBytes(panel));
    }
    SLUICE_CHECK_GT(duration_s_, 0);
    DrawLegend();
    const TimedStep* step = nullptr;
    for (const Panel& panel : panels) {
      if (panel.step != step) DrawHeading(*panel.step);
      step = panel.step;
      DrawPanel(panel);
    }
  }

  std::string Svg() const { return svg::Document({.width = kWidth, .height = y_ + 8}, svg_); }

 private:
  double X(double time_s) const { return kLeft + time_s / duration_s_ * (kWidth - kLeft - kRight); }

  void DrawLegend() {
    double x = kLeft;
    const auto add = [&](OpKind kind, std::string_view text) {
      svg_ += svg::Rect({.x = x, .y = 18, .width = 14, .height = 14},
                        fmt::format("fill=\"{}\"", Lightened(ColorOf(kind), 0)));
      svg_ += svg::Text(x + 20, 29, "", text);
      x += 44 + 6 * static_cast<double>(text.size());
    };
    add(OpKind::kForward, "forward");
    add(OpKind::kBackward, "backward");
    add(OpKind::kBackwardInput, "input gradient");
    add(OpKind::kBackwardWeight, "weight gradient");
    svg_ +=
        svg::Text(x, 29, "fill=\"#555555\"",
                  fmt::format("number: micro-batch, or micro-batch.slice; lighter: later chunk; "
                              "grey strip: activations kept, full height {:.1f} MiB",
                              static_cast<double>(peak_bytes_) / kBytesPerMib));
  }

  void DrawHeading(const TimedStep& step) {
    svg_ += svg::Text(kLeft, y_ + 12, "font-size=\"13\" font-weight=\"bold\"", step.title);
    y_ += kHeadingHeight;
  }

  void DrawPanel(const Panel& panel) {
    svg_ += svg::Text(
        kLeft, y_ + 11, "font-size=\"12\"",
        fmt::format("{}: {:.3f} ms, bubble {:.1f} %, peak activations {:.1f} MiB", panel.label,
                    panel.timeline->duration_s * 1e3, 100 * BubbleFraction(panel),
                    static_cast<double>(PeakBytes(panel)) / kBytesPerMib));
    y_ += kTitleHeight;
    for (int rank = 0; rank < panel.step->schedule.num_ranks; ++rank) DrawRank(panel, rank);
    DrawAxis();
  }

  void DrawRank(const Panel& panel, int rank) {
    const double width = X(panel.timeline->duration_s) - kLeft;
    svg_ += svg::Text(kLeft - 8, y_ + 14, "text-anchor=\"end\"", fmt::format("rank {}", rank));
    svg_ += svg::Rect({.x = kLeft, .y = y_, .width = width, .height = kBoxHeight + kStripHeight},
                      "fill=\"#f1f1f1\"");
    const std::vector<int> chunks = ChunksOfStages(panel.step->schedule);
    const int num_chunks = 1 + *std::ranges::max_element(chunks);
    const std::vector<Op>& ops = panel.step->schedule.ops_of_rank[static_cast<size_t>(rank)];
    for (size_t i = 0; i < ops.size(); ++i) {
      if (!IsCompute(ops[i].kind)) continue;
      const double lightness = 0.55 * chunks[static_cast<size_t>(ops[i].unit.stage)] / num_chunks;
      DrawOp(ops[i], panel.timeline->op_times[static_cast<size_t>(rank)][i], lightness,
             panel.step->schedule.num_slices > 1);
    }
    DrawStrip(panel, rank);
    y_ += kBoxHeight + kStripHeight + kRowGap;
  }

  void DrawOp(const Op& op, const OpTime& time, double lightness, bool has_slices) {
    const svg::Box box = {.x = X(time.start_s),
                          .y = y_,
                          .width = X(time.end_s) - X(time.start_s),
                          .height = kBoxHeight};
    svg_ += svg::Rect(box,
                      fmt::format("fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"0.5\"",
                                  Lightened(ColorOf(op.kind), lightness)),
                      fmt::format("{}: {:.3f} ms at {:.3f} ms", FormatOp(op),
                                  (time.end_s - time.start_s) * 1e3, time.start_s * 1e3));
    const std::string number = has_slices ? fmt::format("{}.{}", op.unit.micro_batch, op.unit.slice)
                                          : std::to_string(op.unit.micro_batch);
    if (box.width < kDigitWidth * static_cast<double>(number.size()) + 2) return;
    const bool is_dark = op.kind == OpKind::kForward && lightness < 0.3;
    svg_ += svg::Text(box.x + box.width / 2, y_ + 14,
                      fmt::format("text-anchor=\"middle\" font-size=\"10\" fill=\"{}\"",
                                  is_dark ? "#ffffff" : "#222222"),
                      number);
  }

  void DrawStrip(const Panel& panel, int rank) {
    const double bottom = y_ + kBoxHeight + kStripHeight;
    std::vector<svg::Point> outline;
    double height = 0;
    const auto add = [&](double time_s, double next_height) {
      outline.push_back({X(time_s), bottom - height});
      outline.push_back({X(time_s), bottom - next_height});
      height = next_height;
    };
    for (const ActivationPoint& point : ActivationCurve(*panel.step, *panel.timeline, rank)) {
      add(point.time_s, kStripHeight * static_cast<double>(point.bytes) /
                            static_cast<double>(std::max<int64_t>(peak_bytes_, 1)));
    }
    add(panel.timeline->duration_s, 0);
    svg_ += svg::Polyline(outline, "fill=\"#9a9a9a\" stroke=\"none\"");
  }

  void DrawAxis() {
    const double width = kWidth - kRight;
    svg_ += svg::Line({kLeft, y_}, {width, y_}, "stroke=\"#888888\"");
    for (const double tick_ms : svg::LinearTicks(0, duration_s_ * 1e3)) {
      const double x = X(tick_ms * 1e-3);
      svg_ += svg::Line({x, y_}, {x, y_ + 4}, "stroke=\"#888888\"");
      svg_ += svg::Text(x, y_ + 16, "text-anchor=\"middle\" fill=\"#555555\"",
                        fmt::format("{:.6g} ms", tick_ms));
    }
    y_ += kAxisHeight;
  }

  double duration_s_ = 0;
  int64_t peak_bytes_ = 0;
  double y_ = kTop;
  std::string svg_;
};

}  // namespace

std::string StepFigureSvg(const std::vector<TimedStep>& steps) {
  SLUICE_CHECK(!steps.empty());
  std::vector<Panel> panels;
  for (const TimedStep& step : steps) {
    panels.push_back({&step, &step.predicted, "predicted"});
    if (step.measured) panels.push_back({&step, &*step.measured, "measured"});
  }
  return Drawing(panels).Svg();
}

}  // namespace sluice
