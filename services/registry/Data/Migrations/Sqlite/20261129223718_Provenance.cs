using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Qbb.Registry.Data.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class Provenance : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(
                name: "Command",
                table: "units",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Environment",
                table: "units",
                type: "TEXT",
                maxLength: 128,
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "Size",
                table: "units",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "provenances",
                columns: table => new
                {
                    VersionId = table.Column<Guid>(type: "TEXT", nullable: false),
                    Base = table.Column<string>(type: "TEXT", maxLength: 64, nullable: false),
                    StartedAt = table.Column<long>(type: "INTEGER", nullable: true),
                    FinishedAt = table.Column<long>(type: "INTEGER", nullable: false),
                    Units = table.Column<string>(type: "TEXT", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_provenances", x => x.VersionId);
                    table.ForeignKey(
                        name: "FK_provenances_versions_VersionId",
                        column: x => x.VersionId,
                        principalTable: "versions",
                        principalColumn: "Id",
                        onDelete: ReferentialAction.Cascade);
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "provenances");

            migrationBuilder.DropColumn(
                name: "Command",
                table: "units");

            migrationBuilder.DropColumn(
                name: "Environment",
                table: "units");

            migrationBuilder.DropColumn(
                name: "Size",
                table: "units");
        }
    }
}
