import { useState, type FormEvent } from "react";

/** This server listens beyond its own machine, so it wants its token before it shows anybody's profile. */
export function TokenForm() {
  const [isWrong, setWrong] = useState(false);
  const send = async (submission: FormEvent<HTMLFormElement>): Promise<void> => {
    submission.preventDefault();
    const token = new FormData(submission.currentTarget).get("token");
    const answer = await fetch("/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (answer.ok) location.reload();
    else setWrong(true);
  };
  return (
    <main className="lone">
      <h1>Polder live</h1>
      <form onSubmit={(submission) => void send(submission)}>
        <label htmlFor="token">Admin token of this server</label>
        <input
          id="token"
          name="token"
          type="password"
          autoComplete="current-password"
          required
          aria-describedby="token-note"
        />
        <p id="token-note" role="status">
          {isWrong
            ? "That is not the token."
            : "Profiles are personal data: beyond this machine they are shown with the token only."}
        </p>
        <button type="submit">Open</button>
      </form>
    </main>
  );
}
