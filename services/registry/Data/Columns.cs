using System.Text.Json;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Qbb.Registry.Data;

/// <summary>How values are stored that a database has no type for.</summary>
internal static class Columns
{
    /// <summary>Stores the property as JSON. Its values are never changed in place, only replaced.</summary>
    public static PropertyBuilder<T> AsJson<T>(this PropertyBuilder<T> property)
    {
        property.HasConversion(
            new ValueConverter<T, string>(
                value => JsonSerializer.Serialize(value, JsonSerializerOptions.Web),
                text => JsonSerializer.Deserialize<T>(text, JsonSerializerOptions.Web)!),
            new ValueComparer<T>((a, b) => ReferenceEquals(a, b) || Equals(a, b), value => value == null ? 0 : value.GetHashCode(), value => value));
        return property;
    }

    // The default has no name, so that the model as code (images/publish) could not write down what stands for an unset value.
    public static void AsName(this PropertyBuilder<UnitKind> property) =>
        property.HasConversion(kind => kind.Name, name => new UnitKind(name)).HasMaxLength(16).HasSentinel(new UnitKind(""));
}
