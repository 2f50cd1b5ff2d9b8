using System.Text.Json.Serialization;

namespace Qbb.Contracts;

/// <summary>What sampled sequences are for; those of one use are never drawn for another.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<DataUse>))]
public enum DataUse
{
    /// <summary>To decompose layers by, and to distil on.</summary>
    Calibration,

    /// <summary>To score the result on, where there is no text.</summary>
    Evaluation,
}
