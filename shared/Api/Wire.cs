using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Refit;

namespace Qbb.Api;

/// <summary>How values are written in JSON and in addresses, the same on both sides.</summary>
public static class Wire
{
    private static readonly JsonNamingPolicy s_enums = JsonNamingPolicy.KebabCaseLower;

    public static JsonSerializerOptions Json { get; } = Configure(
        new JsonSerializerOptions(JsonSerializerDefaults.Web) { TypeInfoResolver = new DefaultJsonTypeInfoResolver() });

    /// <summary>
    /// Sets what differs from the web's defaults. Members without a default must be there, so that a JSON object of some other site is not
    /// taken for an answer: a member that is added later needs a default.
    /// </summary>
    public static JsonSerializerOptions Configure(JsonSerializerOptions options)
    {
        options.Converters.Add(new JsonStringEnumConverter(s_enums, allowIntegerValues: false));
        options.RespectRequiredConstructorParameters = true;
        options.TypeInfoResolverChain.Insert(0, WireContext.Default);
        return options;
    }

    /// <summary>An enum's value as the wire has it: assemble-model.</summary>
    public static string NameOf(Enum value) => s_enums.ConvertName(value.ToString());

    public static IEnumerable<string> NamesOf<T>()
        where T : struct, Enum => Enum.GetValues<T>().Select(value => NameOf(value));

    /// <summary>The value of a name; null if there is none.</summary>
    public static T? Find<T>(string name)
        where T : struct, Enum => Enum.GetValues<T>().Cast<T?>().FirstOrDefault(value => NameOf(value!.Value) == name);
}

/// <summary>
/// What push, watch and pull need is described at build time, which spares a fifth of the time that JSON takes them; the rest is found by
/// reflection.
/// </summary>
[JsonSourceGenerationOptions(GenerationMode = JsonSourceGenerationMode.Metadata)]
[JsonSerializable(typeof(Page<ModelView>))]
[JsonSerializable(typeof(VersionView))]
[JsonSerializable(typeof(VersionRequest))]
[JsonSerializable(typeof(UploadedVersion))]
[JsonSerializable(typeof(Page<PipelineView>))]
[JsonSerializable(typeof(PipelineView[]))]
[JsonSerializable(typeof(PipelineRequest))]
[JsonSerializable(typeof(PipelineCreated))]
internal sealed partial class WireContext : JsonSerializerContext;

/// <summary>Values in addresses as the registry reads them, in no culture and at no machine's time: Refit by itself writes True, and month/day/year.</summary>
public sealed class UrlValues : IUrlParameterFormatter
{
    public string? Format(object? value, ICustomAttributeProvider attributeProvider, Type type) => value switch
    {
        bool flag => flag ? "true" : "false",
        Enum name => Wire.NameOf(name),
        DateTimeOffset time => Format(time.UtcDateTime, attributeProvider, type),
        // A time that says nothing of its zone is taken for UTC, never for this machine's.
        DateTime { Kind: DateTimeKind.Local } time => Format(time.ToUniversalTime(), attributeProvider, type),
        DateTime time => DateTime.SpecifyKind(time, DateTimeKind.Utc).ToString("O", CultureInfo.InvariantCulture),
        DateOnly day => day.ToString("O", CultureInfo.InvariantCulture),
        IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
        _ => value?.ToString(),
    };
}
