using System.Text.Json;

namespace Qbb.Recipes;

/// <summary>Reads an object member by member, so that everything that is wrong with it is told at once.</summary>
internal static class MemberReader
{
    /// <param name="json">The object.</param>
    /// <param name="start">What it is without members.</param>
    /// <param name="set">Sets one; throws <see cref="Unknown"/>, or a <see cref="FormatException"/> that says which values are known.</param>
    /// <param name="problems">Gets a line for every member that cannot be set.</param>
    /// <param name="prefix">Of the members' names in those lines.</param>
    /// <exception cref="InvalidOperationException">It is no object.</exception>
    public static T Read<T>(JsonElement json, T start, Func<T, string, JsonElement, T> set, List<string> problems, string prefix = "")
    {
        var read = start;
        foreach (var member in json.EnumerateObject())
        {
            try
            {
                read = set(read, member.Name, member.Value);
            }
            catch (KeyNotFoundException)
            {
                problems.Add($"unknown member {prefix}{member.Name}");
            }
            catch (Exception error) when (error is FormatException or InvalidOperationException)
            {
                problems.Add($"{prefix}{member.Name} is {member.Value.GetRawText()}, which cannot be: {error.Message}");
            }
        }
        return read;
    }

    /// <summary>What to throw for a member that is not known.</summary>
    public static KeyNotFoundException Unknown() => new();
}
