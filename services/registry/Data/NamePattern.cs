using System.IO.Enumeration;

namespace Qbb.Registry.Policies;

/// <summary>Patterns of names: * stands for any characters, ? for one; capital letters count.</summary>
internal static class NamePattern
{
    public static bool Matches(string pattern, string name) => FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);
}
