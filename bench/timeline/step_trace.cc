#include "bench/timeline/step_trace.h"

#include <fmt/format.h>

#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/gzip.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

constexpr double kBytesPerMib = 1 << 20;

enum Track : int { kCompute = 1, kWaits, kTensorCollectives, kDataCollectives, kFirstChannel };

std::string Quoted(std::string_view text) { return nlohmann::json(text).dump(); }

class TraceText {
 public:
  void Name(int process, std::string_view text) {
    Add(R"({{"ph":"M","name":"process_name","pid":{},"args":{{"name":{}}}}})", process,
        Quoted(text));
    Add(R"({{"ph":"M","name":"process_sort_index","pid":{0},"args":{{"sort_index":{0}}}}})",
        process);
  }

  void NameTrack(int process, int track, std::string_view text) {
    Add(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":{}}}}})", process,
        track, Quoted(text));
    Add(R"({{"ph":"M","name":"thread_sort_index","pid":{0},"tid":{1},)"
        R"("args":{{"sort_index":{1}}}}})",
        process, track);
  }

  // `arguments` is a JSON object.
  void Slice(int process, int track, std::string_view name, const OpTime& time,
             std::string_view arguments) {
    Add(R"({{"ph":"X","name":{},"pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"args":{}}})",
        Quoted(name), process, track, time.start_s * 1e6, (time.end_s - time.start_s) * 1e6,
        arguments);
  }

  // `phase` is 's' at the start of an arrow and 'f' at its end.
  void Arrow(char phase, int id, int process, int track, double time_s) {
    Add(R"({{"ph":"{}","name":"message","cat":"message","id":{},"pid":{},"tid":{},"ts":{:.3f}{}}})",
        phase, id, process, track, time_s * 1e6, phase == 'f' ? R"(,"bp":"e")" : "");
  }

  void Counter(int process, std::string_view name, double time_s, double value) {
    Add(R"({{"ph":"C","name":{},"pid":{},"ts":{:.3f},"args":{{"MiB":{:.3f}}}}})", Quoted(name),
        process, time_s * 1e6, value);
  }

  std::string Finish() && {
    return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + std::move(text_) + "\n]}\n";
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    if (!text_.empty()) text_ += ",\n";
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  std::string text_;
};

// One rank's processes and arrows of one timeline of a step.
class TimelineWriter {
 public:
  // Processes of the timeline are numbered from `first_process`, arrows from *next_arrow.
  TimelineWriter(const TimedStep& step, const StepTimeline& timeline, std::string_view label,
                 int first_process, int* next_arrow, TraceText* text)
      : step_(step),
        timeline_(timeline),
        label_(label),
        first_process_(first_process),
        next_arrow_(*next_arrow),
        text_(*text) {}

  void Write() {
    for (int rank = 0; rank < step_.schedule.num_ranks; ++rank) {
      NameTracks(rank);
      WriteOps(rank);
      WriteSegments(rank);
      for (const ActivationPoint& point : ActivationCurve(step_, timeline_, rank)) {
        text_.Counter(first_process_ + rank, "activation MiB", point.time_s,
                      static_cast<double>(point.bytes) / kBytesPerMib);
      }
    }
    WriteArrows();
  }

 private:
  bool is_measured() const { return !timeline_.segments.empty(); }

  int ChannelTrack(const Op& transfer) const {
    return kFirstChannel + 2 * PeerRank(step_.schedule, transfer) + (IsRecv(transfer.kind) ? 1 : 0);
  }

  void NameTracks(int rank) {
    const int process = first_process_ + rank;
    text_.Name(process, fmt::format("{} rank {}: {}", label_, rank, step_.title));
    text_.NameTrack(process, kCompute, "compute");
    if (is_measured()) {
      text_.NameTrack(process, kWaits, "waits for messages");
      text_.NameTrack(process, kTensorCollectives, "tensor-parallel collectives");
      text_.NameTrack(process, kDataCollectives, "data-parallel collectives");
      return;
    }
    std::map<int, std::string> channels;
    for (const Op& op : step_.schedule.ops_of_rank[static_cast<size_t>(rank)]) {
      if (IsCompute(op.kind)) continue;
      channels[ChannelTrack(op)] =
          fmt::format("{} rank {}", IsSend(op.kind) ? "to" : "from", PeerRank(step_.schedule, op));
    }
    for (const auto& [track, name] : channels) text_.NameTrack(process, track, name);
  }

  std::string Arguments(int rank, size_t position) const {
    const Op& op = step_.schedule.ops_of_rank[static_cast<size_t>(rank)][position];
    const OpTime& predicted = step_.predicted.op_times[static_cast<size_t>(rank)][position];
    const LayerRange& layers = step_.layers_of_stage[static_cast<size_t>(op.unit.stage)];
    const auto [key, bytes] =
        IsCompute(op.kind)
            ? std::pair("activation_bytes", step_.activation_bytes(op.unit))
            : std::pair("message_bytes",
                        step_.message_bytes_of_slice[static_cast<size_t>(op.unit.slice)]);
    return fmt::format(R"({{"stage":{},"micro_batch":{},"slice":{},"layers":"{}-{}","{}":{},)"
                       R"("predicted_us":{:.3f}}})",
                       op.unit.stage, op.unit.micro_batch, op.unit.slice, layers.begin,
                       layers.begin + layers.num_layers - 1, key, bytes,
                       (predicted.end_s - predicted.start_s) * 1e6);
  }

  void WriteOps(int rank) {
    const std::vector<Op>& ops = step_.schedule.ops_of_rank[static_cast<size_t>(rank)];
    for (size_t i = 0; i < ops.size(); ++i) {
      if (is_measured() && !IsCompute(ops[i].kind)) continue;
      const int track = IsCompute(ops[i].kind) ? static_cast<int>(kCompute) : ChannelTrack(ops[i]);
      text_.Slice(first_process_ + rank, track, FormatOp(ops[i]),
                  timeline_.op_times[static_cast<size_t>(rank)][i], Arguments(rank, i));
    }
  }

  void WriteSegments(int rank) {
    if (!is_measured()) return;
    for (const TimelineSegment& segment : timeline_.segments[static_cast<size_t>(rank)]) {
      const OpTime time = {segment.begin_s, segment.end_s};
      const auto add = [&](Track track, std::string_view name) {
        text_.Slice(first_process_ + rank, track, name, time, "{}");
      };
      switch (segment.activity) {
        case Activity::kCompute:
          break;  // WriteOps
        case Activity::kMessages:
          add(kWaits, "wait");
          break;
        case Activity::kTensorCollectives:
          add(kTensorCollectives, "collective");
          break;
        case Activity::kDataCollectives:
          add(kDataCollectives, "collective");
          break;
      }
    }
  }

  // From the op that makes a message to the op that needs it. Both ends lie inside their slices, as
  // importers of traces bind an arrow to the slice at its time.
  void WriteArrows() {
    const Schedule& schedule = step_.schedule;
    std::vector<int> maker_of_unit[2] = {std::vector<int>(NumUnits(schedule), -1),
                                         std::vector<int>(NumUnits(schedule), -1)};
    const auto maker = [&](const Op& op, int unit) -> int& {
      return maker_of_unit[op.kind == OpKind::kForward ? 0 : 1][unit];
    };
    for (const std::vector<Op>& ops : schedule.ops_of_rank) {
      for (size_t i = 0; i < ops.size(); ++i) {
        if (!IsCompute(ops[i].kind) || !OutputOf(schedule, ops[i])) continue;
        maker(ops[i], UnitIndex(schedule, ops[i].unit)) = static_cast<int>(i);
      }
    }
    for (int rank = 0; rank < schedule.num_ranks; ++rank) {
      const std::vector<Op>& ops = schedule.ops_of_rank[static_cast<size_t>(rank)];
      for (size_t i = 0; i < ops.size(); ++i) {
        const std::optional<Op> input =
            IsCompute(ops[i].kind) ? InputOf(schedule, ops[i]) : std::nullopt;
        if (!input) continue;
        const int from_rank = PeerRank(schedule, *input);
        const int position = maker(ops[i], UnitIndex(schedule, Counterpart(*input).unit));
        WriteArrow(timeline_.op_times[from_rank][position], from_rank, timeline_.op_times[rank][i],
                   rank);
      }
    }
  }

  void WriteArrow(const OpTime& from, int from_rank, const OpTime& to, int to_rank) {
    const int id = next_arrow_++;
    text_.Arrow('s', id, first_process_ + from_rank, kCompute, (from.start_s + from.end_s) / 2);
    text_.Arrow('f', id, first_process_ + to_rank, kCompute, (to.start_s + to.end_s) / 2);
  }

  const TimedStep& step_;
  const StepTimeline& timeline_;
  std::string_view label_;
  int first_process_;
  int& next_arrow_;
  TraceText& text_;
};

}  // namespace

std::string TraceJson(const std::vector<TimedStep>& steps) {
  TraceText text;
  int next_process = 1;
  int next_arrow = 1;
  for (const TimedStep& step : steps) {
    const auto write = [&](const StepTimeline& timeline, std::string_view label) {
      TimelineWriter(step, timeline, label, next_process, &next_arrow, &text).Write();
      next_process += step.schedule.num_ranks;
    };
    write(step.predicted, "predicted");
    if (step.measured) write(*step.measured, "measured");
  }
  return std::move(text).Finish();
}

void WriteTrace(const std::string& path, const std::vector<TimedStep>& steps) {
  const std::string text = TraceJson(steps);
  WriteFileAtomically(path, path.ends_with(".gz") ? Gzip(text) : text);
}

}  // namespace sluice
