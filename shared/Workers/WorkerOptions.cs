using System.ComponentModel.DataAnnotations;

namespace Qbb.Workers;

/// <summary>Section <c>Worker</c> of the configuration.</summary>
public sealed class WorkerOptions : IValidatableObject
{
    public const string Section = "Worker";
    private Device? _device;

    /// <summary>Where models are laid out while they are worked on; best on the disk of the artifact store, where it costs no room.</summary>
    public string Folder { get; set; } = Path.Combine(Path.GetTempPath(), "qbb-worker");

    /// <summary>cpu, cuda or cuda:N; null for the GPU where there is one.</summary>
    public string? Device { get; set; }

    /// <summary>CPU threads; 0 for all cores.</summary>
    [Range(0, 4096)]
    public int Threads { get; set; }

    /// <summary>Seconds that a unit should take, where its size can be chosen.</summary>
    [Range(1, 600)]
    public int UnitSeconds { get; set; } = 30;

    /// <summary>
    /// Megabytes that models and trainings may take to stay loaded between units of different stages; null for half of what a GPU has free when the
    /// worker begins, and on a CPU, where a model is a second's copy of a file that the system caches, for those of one stage.
    /// </summary>
    [Range(0, 1 << 20)]
    public int? WarmMegabytes { get; set; }

    /// <summary>The stage that this process was started for, by a Job of it; --stage for short.</summary>
    public string? Stage { get; set; }

    /// <summary>Ends the process when it had no unit for so long, such as 30s or 5m; --until-idle for short. Null: it waits for ever.</summary>
    [RegularExpression("[0-9]{1,6}[sm]", ErrorMessage = "give seconds or minutes, such as 30s or 5m")]
    public string? UntilIdle { get; set; }

    /// <summary><see cref="UntilIdle"/> as a time.</summary>
    public TimeSpan? IdleLimit => UntilIdle is { } text ? int.Parse(text.AsSpan(..^1)) * (text[^1] == 's' ? TimeSpan.FromSeconds(1) : TimeSpan.FromMinutes(1)) : null;

    /// <summary>The device that is meant; the same as long as the process runs, so that a GPU that is lost is not replaced by the CPU in silence.</summary>
    public Device ReadDevice() => _device ??= torch.Device.Parse(Device ?? (torch.cuda.is_available() ? "cuda" : "cpu"));

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (string.IsNullOrWhiteSpace(Folder))
            yield return new("Worker:Folder is empty; give a folder");
        if (Device is not null && Refusal(Device) is { } reason)
            yield return new($"Worker:Device is {Device}: {reason}");

        static string? Refusal(string device)
        {
            try
            {
                Natives.RequireDevice(device);
                return null;
            }
            catch (Exception error) when (error is FormatException or TorchUnavailableException)
            {
                return error.Message;
            }
        }
    }
}
