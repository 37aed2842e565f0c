// Show times in the reader's time zone, and how long ago they were. Without this script, times are
// in UTC. `data-form` says how: day (of a separator), clock (below one), minute (of a row),
// relative; else in full.
const DAY = 24 * 60 * 60 * 1000;
const UNITS = [["year", 365 * DAY], ["month", 30 * DAY], ["day", DAY], ["hour", DAY / 24], ["minute", 60 * 1000]];
const LANGUAGE = document.documentElement.lang || "en";
const ago = new Intl.RelativeTimeFormat(LANGUAGE, {numeric: "auto"});
const THIS_YEAR = new Date().getFullYear();
const pad = (number) => String(number).padStart(2, "0");

function relative(time) {
  const past = time - Date.now();
  const [unit, length] = UNITS.find(([, length]) => Math.abs(past) >= length) || ["second", 1000];
  return ago.format(Math.round(past / length), unit);
}

function daysAgo(time) {
  const midnight = (at) => new Date(at).setHours(0, 0, 0, 0);
  return ago.format(Math.round((midnight(time) - midnight(Date.now())) / DAY), "day");
}

function day(time, form) {
  return new Intl.DateTimeFormat(LANGUAGE, form).format(time);
}

for (const element of document.querySelectorAll("time[datetime]")) {
  const time = new Date(element.dateTime);
  if (element.dataset.form === "day") {
    const last = element.closest("li").previousElementSibling?.querySelector(".day time");
    const date = (at) => day(new Date(at.dateTime), {dateStyle: "full"});
    element.textContent = `${date(element)} · ${daysAgo(time)}`;
    element.parentElement.hidden = Boolean(last) && date(last) === date(element);
    continue;
  }
  const minute = `${pad(time.getHours())}:${pad(time.getMinutes())}`;
  const clock = element.dataset.form === "minute" ? minute : `${minute}:${pad(time.getSeconds())}`;
  element.title = `${relative(time)}, ${element.title || element.textContent}`;
  const year = element.dataset.form === "minute" && time.getFullYear() === THIS_YEAR ? undefined : "numeric";
  const date = day(time, {day: "numeric", month: "short", year});
  element.textContent = element.dataset.form === "clock" ? clock : `${date}, ${clock}`;
  if (element.dataset.form === "relative") element.prepend(`${relative(time)}, `);
}

// The form that jumps to a time asks for the reader's time, and sends it in UTC.
for (const field of document.querySelectorAll("input[type=datetime-local][name=date]")) {
  field.labels[0].textContent = "Time";
  field.form.addEventListener("formdata", (event) => {
    if (field.value) event.formData.set("date", new Date(field.value).toISOString());
  });
}
